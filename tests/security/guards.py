"""The guards of SECURITY.md, and how each is taken out: an edit of the source, after which the tests beside it fail.

``python -m tests.security`` does it; ``test_the_page_about_it.py`` sees to it that no test of the page is without a guard
and that every edit still fits the source.
"""

# ruff: noqa: E501 - lines of the source, as they stand there

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """``what`` is taken out by ``edits`` (file, text that occurs in it once, what stands there instead)."""

    what: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


def guard(what: str, file: str, old: str, new: str, *tests: str) -> Guard:
    """Return a guard that one edit takes out."""
    return Guard(what, ((file, old, new),), tests)


UNTAKEN = {"test_settings_of_a_site.py::test_no_part_is_older_than_its_last_published_hole"}
"""Its guard is what is installed, not a line of the source."""

GETTING_IN = (
    guard(
        "the origin of a socket is compared",
        "apps/realtime/handshake.py", "if origin is not None and not origin_allowed(", "if False and not origin_allowed(",
        "test_gate.py::test_only_the_very_origin_of_the_page_may_open_a_socket",
        "test_gate.py::test_a_cookie_is_no_login_for_the_page_of_another_site",
    ),
    guard(
        "the host of a socket is compared",
        "autocode/gate.py", 'if scope["type"] == "websocket" and (problem', 'if scope["type"] == "none" and (problem',
        "test_gate.py::test_a_socket_for_another_host_is_refused_whoever_asks",
    ),
    guard(
        "root_path is emptied",
        "autocode/gate.py", '{**scope, "root_path": "", "headers"', '{**scope, "headers"',
        "test_gate.py::test_the_application_sees_no_root_path_of_a_client",
    ),
    guard(
        "names with an underscore are dropped",
        "autocode/gate.py", 'if b"_" not in name', "if True",
        "test_gate.py::test_names_that_wsgi_cannot_tell_apart_are_dropped",
    ),
    guard(
        "subprotocols that are no ASCII are refused before Daphne fails on them",
        "apps/realtime/daphne_requests.py", "if not all(value.isascii() for value in offered):", "if False:",
        "test_gate.py::test_a_real_server_behind_hostile_bytes",
    ),
    guard(
        "attempts are counted in one step",
        "apps/accounts/throttling.py",
        "        if cache.add(counter, 1, timeout=seconds):\n            return 1\n",
        '        before = int(cache.get(counter) or 0)\n        __import__("time").sleep(0.001)\n        cache.set(counter, before + 1, timeout=seconds)\n        return before + 1\n',
        "test_logins.py::test_attempts_that_come_at_once_are_all_counted",
    ),
    guard(
        "a name is counted in one spelling",
        "apps/accounts/throttling.py", 'unicodedata.normalize("NFKC", username).casefold().strip()', "username",
        "test_logins.py::test_no_spelling_of_a_name_gets_attempts_of_its_own",
    ),
    guard(
        "an IPv6 address counts as its network",
        "apps/core/addresses.py", "return str(ipaddress.ip_network((parsed, 64), strict=False))", "return str(parsed)",
        "test_logins.py::test_an_ipv6_household_is_one_address",
    ),
    guard(
        "a process counts by itself where the cache is away",
        "apps/accounts/throttling.py", "return self._count(HERE, counter, seconds)", "return 0",
        "test_logins.py::test_without_the_shared_cache_each_process_still_counts",
    ),
    guard(
        "only people authenticate",
        "apps/accounts/backends.py", ' and getattr(user, "kind", None) == ActorKind.PERSON.value', "",
        "test_logins.py::test_whoever_is_no_person_does_not_log_in",
    ),
    guard(
        "a password is hashed for names that are nobody's too",
        "apps/accounts/backends.py", "    def user_can_authenticate(",
        "    def authenticate(self, request: Any, username: Any = None, **given: Any) -> Any:\n"
        "        from apps.accounts.models import User\n\n"
        "        known = User.objects.filter(username=username).exists()\n"
        "        return super().authenticate(request, username=username, **given) if known else None\n\n"
        "    def user_can_authenticate(",
        "test_logins.py::test_whoever_tries_the_answer_and_the_work_are_the_same",
    ),
    guard(
        "the version of a token is compared",
        "apps/accounts/tokens.py", "or said.version != family.user.access_version", "",
        "test_logins.py::test_a_rightly_signed_token_with_odd_claims_is_refused",
    ),
    guard(
        "the user of a token is the one of its login",
        "apps/accounts/tokens.py", "or str(family.user_id) != said.user_id", "",
        "test_logins.py::test_a_token_of_another_key_or_kind_is_refused",
    ),
    guard(
        "a refresh token that comes back ends its login",
        "apps/accounts/services.py", '            self._end(family, "reuse")\n', "",
        "test_logins.py::test_a_refresh_token_that_comes_back_ends_the_whole_login",
    ),
    guard(
        "a refresh token is used up by the condition of the update",
        "apps/accounts/services.py", 'filter(pk=family.pk, current=refresh["jti"], ended_at=None).update(', "filter(pk=family.pk).update(",
        "test_logins.py::test_of_many_that_use_one_token_at_once_one_wins_and_the_login_ends",
    ),
    guard(
        "the browser is told to forget",
        "apps/dashboard/views.py", 'response.headers["Clear-Site-Data"] =', "_ =",
        "test_settings_of_a_site.py::test_a_browser_that_logs_out_forgets_the_rooms",
    ),
    guard(
        "forms ask for the token of a page",
        "autocode/settings/parts/applications.py", '    "django.middleware.csrf.CsrfViewMiddleware",\n', "",
        "test_settings_of_a_site.py::test_no_session_writes_without_the_token_of_a_page",
    ),
    Guard(
        "only what a form posts changes a project",
        (
            ("apps/dashboard/views.py", 'if request.method == "POST" and not asks and', "if not asks and"),
            ("apps/dashboard/views.py", 'match request.POST.get("archived"):', 'match (request.GET or request.POST).get("archived"):'),
        ),
        ("test_settings_of_a_site.py::test_reading_changes_nothing",),
    ),
    guard(
        "a login begins a session of its own",
        "apps/accounts/session_store.py", "    def _get_session_from_db(self) -> Any:\n        row = None",
        "    def cycle_key(self) -> None: ...\n\n    def _get_session_from_db(self) -> Any:\n        row = None",
        "test_settings_of_a_site.py::test_a_login_gets_a_session_of_its_own",
    ),
)  # fmt: skip

BEING_PUT_OUT = (
    guard(
        "processes tell each other of an access that ended",
        "apps/realtime/receivers.py", '    access_changed.connect(_access, dispatch_uid="realtime.access")\n', "",
        "test_access_ends_everywhere.py::test_every_process_is_told_at_once",
    ),
    guard(
        "each process looks for itself",
        "apps/realtime/rights.py", "everybody = list(self._users())", "everybody: list[str] = []",
        "test_access_ends_everywhere.py::test_a_process_that_is_not_told_finds_out",
    ),
)  # fmt: skip

STAYING_APART = (
    guard(
        "a project is looked up among the user's own",
        "apps/projects/selectors/access.py", "filter(project__guid=as_guid(guid), user_id=user_id)", "filter(project__guid=as_guid(guid))",
        "test_isolation.py::test_no_rest_route_reaches_into_another_project",
        "test_isolation.py::test_cursors_keys_and_searches_lead_nowhere_else",
        "test_isolation.py::test_a_group_of_the_layer_is_nothing_that_a_client_can_name",
    ),
    guard(
        "a project of others is one that is not there",
        "apps/projects/selectors/access.py", "    if row is None:\n        raise NotFound\n", "    if row is None:\n        raise Forbidden\n",
        "test_isolation.py::test_no_rest_route_reaches_into_another_project",
    ),
    guard(
        "a task is looked up within its project",
        "apps/projects/services/tasks.py", "filter(project=log.project, key=task_id).first()", "filter(key=task_id).first()",
        "test_isolation.py::test_no_command_reaches_into_another_project",
        "test_isolation.py::test_no_rest_route_reaches_into_another_project",
    ),
    guard(
        "a message of the layer that cannot be used is dropped",
        "apps/realtime/layer.py",
        '        try:\n            self._hear(message)\n        except Exception:\n            logger.exception("a message of the channel layer cannot be used")\n',
        "        self._hear(message)\n",
        "test_layer.py::test_rubbish_from_the_layer_ends_nothing_and_reaches_nobody",
    ),
    guard(
        "whether an access has ended is looked up",
        "apps/realtime/rights.py", "            self._manager.spawn(_soon(self.check_users(user_id)))",
        "            for connection in list(self._manager.by_user.get(user_id, ())):\n                connection.session_ended()",
        "test_layer.py::test_a_forged_end_of_somebodys_access_is_looked_up_first",
    ),
    guard(
        "unknown fields are refused",
        "apps/core/events.py", "forbid_unknown_fields=True", "forbid_unknown_fields=False",
        "test_isolation.py::test_nobody_writes_in_another_name",
    ),
)  # fmt: skip

WRITTEN = (
    guard(
        "links of rendered text lead out whole, or nowhere",
        "apps/projects/markdown.py", 'return None if name == "href" and not _WHOLE.match(value) else value', "return value",
        "test_hostile_text.py::test_markdown_becomes_nothing_that_acts",
    ),
    Guard(
        "raw HTML is off, and what comes out is filtered",
        (
            ("apps/projects/markdown.py", '{"html": False,', '{"html": True,'),
            ("apps/projects/markdown.py", "    return nh3.clean(\n", "    return _parser.render(visible(text))\n    return nh3.clean(\n"),
        ),
        ("test_hostile_room.py::test_a_room_of_attacks_is_only_text",),
    ),
    guard(
        "the page marks what hides in code, paths and names",
        "apps/dashboard/static/dashboard/js/lib/visible.js", "text.replace(INEXACT, mark)", "text",
        "test_hostile_room.py::test_a_room_of_attacks_is_only_text",
    ),
    guard(
        "the browser lets scripts make no markup",
        "autocode/middleware.py", '("" if request.path.startswith(FOREIGN_SCRIPTS) else TRUSTED_TYPES)', '""',
        "test_hostile_room.py::test_no_script_makes_markup_but_by_the_one_policy",
    ),
    guard(
        "what would not be seen in code is marked",
        "apps/core/text.py", '_INEXACT: Final = re.compile(f"[{_ALWAYS}{_IN_CODE}]")', '_INEXACT: Final = re.compile(f"[{_ALWAYS}]")',
        "test_hostile_text.py::test_every_format_character_of_unicode_is_marked_in_code",
    ),
    guard(
        "escape sequences are taken out of output",
        "apps/dashboard/static/dashboard/js/timeline/terminal.js", 'output.replace(ESCAPES, "")', "output",
        "test_hostile_text.py::test_the_scripts_of_the_page_hold_against_hostile_text",
    ),
    guard(
        "links of notices are places of this site",
        "apps/projects/services/notifications.py", 'link = link if _OWN.fullmatch(link) else ""', "link = str(link)",
        "test_hostile_text.py::test_links_of_notices_lead_nowhere_else",
    ),
    guard(
        "quotes and lists are nested only so deep",
        "apps/projects/markdown.py", "_MAX_NESTING = 20", "_MAX_NESTING = 1_000_000",
        "test_hostile_text.py::test_markdown_costs_no_more_than_its_length",
    ),
    guard(
        "in prose only what is never meant well is marked",
        "apps/core/text.py", "return _level(_HOSTILE.sub(_mark, text))", "return _level(_INEXACT.sub(_mark, text))",
        "test_hostile_text.py::test_no_language_and_no_emoji_is_harmed",
    ),
)  # fmt: skip

THE_WAY_OUT = (
    guard(
        "addresses of clouds and of nobody are refused",
        "apps/agents/link/target.py", "if address in METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:", "if False:",
        "test_outbound.py::test_addresses_of_clouds_and_of_nobody_are_refused_however_they_are_written",
    ),
    guard(
        "the socket goes to the address that was looked at",
        "apps/agents/link/handler.py", "            host=address,\n            port=port,\n", "",
        "test_outbound.py::test_the_socket_goes_to_the_address_that_was_looked_at",
    ),
    guard(
        "redirects are not followed",
        "apps/agents/link/handler.py", "        return exc\n", "        return super().process_redirect(exc)\n",
        "test_outbound.py::test_a_redirect_is_not_followed_and_gets_no_token",
    ),
    guard(
        "no proxy is asked",
        "apps/agents/link/handler.py", "            proxy=None,\n", "            proxy=True,\n",
        "test_outbound.py::test_no_proxy_of_the_environment_sees_the_token",
    ),
    guard(
        "the server's certificate is checked",
        "apps/agents/link/handler.py", "            proxy=None,\n",
        '            proxy=None,\n            ssl=__import__("ssl")._create_unverified_context() if self._url.startswith("wss") else None,\n',
        "test_outbound.py::test_a_server_that_cannot_prove_itself_gets_nothing",
    ),
    guard(
        "without TLS the link stays near",
        "apps/agents/link/target.py", "return encrypted or address.is_private", "return True",
        "test_outbound.py::test_without_encryption_the_link_stays_near",
    ),
    guard(
        "a session is kept under a hash",
        "apps/accounts/session_store.py", 'return hashlib.sha256(f"autocode.session.{session_key}".encode()).hexdigest()[:40]', "return session_key[:40]",
        "test_logins.py::test_no_session_can_be_taken_from_the_database",
    ),
    guard(
        "of a refresh token only its id is kept",
        "apps/accounts/services.py", 'user=user, current=refresh["jti"], created_at', "user=user, current=str(refresh), created_at",
        "test_logins.py::test_no_token_is_kept_anywhere_in_the_database",
    ),
    guard(
        "what looks like a secret is masked in logs",
        "autocode/logs.py", """return SECRETS.sub(lambda found: f"{found['scheme'] or found['name'] or ''}***", text)""", "return text",
        "test_outbound.py::test_no_secret_is_in_any_log_or_answer",
    ),
)  # fmt: skip

WHAT_HAPPENED = (
    guard(
        "failed logins are written down",
        "apps/accounts/receivers.py", '    audit.refused_login(str(credentials.get("username", "")))\n', "",
        "test_audit.py::test_logins_and_failures_are_in_it_with_where_they_came_from",
    ),
    guard(
        "changes of members are written down",
        "apps/projects/services/members.py", "        audit.account_deed(deed, user, actor=self.actor, project=guid, role=role, previous=previous)\n", "",
        "test_audit.py::test_members_are_in_it",
    ),
    guard(
        "what was refused is written down",
        "apps/projects/api/errors.py", 'refused(request.user.actor, f"{request.method} {request.path}", why=error.message)', "pass",
        "test_audit.py::test_decisions_are_in_it_and_refused_ones_too",
    ),
    guard(
        "what becomes of dead letters is written down",
        "apps/agents/services/dead_letters.py", "    audit.record(deed, subject=str(letter.pk), subject_name=letter.type, project=guid)\n", "",
        "test_audit.py::test_dead_letters_and_the_administration_are_in_it",
    ),
    guard(
        "actions of the administration are written down",
        "apps/agents/admin.py", "class DeadLetterAdmin(AuditedActions, ReadOnly):", "class DeadLetterAdmin(ReadOnly):",
        "test_audit.py::test_no_action_of_the_administration_goes_unwritten",
        "test_audit.py::test_dead_letters_and_the_administration_are_in_it",
    ),
    guard(
        "the database refuses to change an entry",
        "apps/accounts/migrations/0004_audit_guard.py",
        "BEFORE UPDATE ON accounts_auditentry\n            BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "BEFORE UPDATE ON accounts_auditentry\n            BEGIN SELECT 1; END",
        "test_audit.py::test_the_database_refuses_to_change_an_entry",
    ),
    guard(
        "the database refuses to put an entry in another's place",
        "apps/accounts/migrations/0004_audit_guard.py",
        "WHEN EXISTS (SELECT 1 FROM accounts_auditentry WHERE id = NEW.id)\n            BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "WHEN EXISTS (SELECT 1 FROM accounts_auditentry WHERE id = NEW.id)\n            BEGIN SELECT 1; END",
        "test_audit.py::test_no_way_around_the_triggers",
    ),
    guard(
        "the database refuses to remove what is young",
        "apps/accounts/migrations/0004_audit_guard.py",
        "WHEN OLD.at > datetime('now', '-90 days')\n            BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "WHEN OLD.at > datetime('now', '-90 days')\n            BEGIN SELECT 1; END",
        "test_audit.py::test_retention_removes_what_is_old_and_can_remove_nothing_else",
    ),
    guard(
        "guessing is written down once a window",
        "apps/accounts/throttling.py", "if count == self.num_requests + 1:", "if count > self.num_requests:",
        "test_audit.py::test_guessing_is_written_down_once_a_window",
    ),
    guard(
        "of one person's refusals ten a minute are written down",
        "apps/accounts/audit.py", 'if not _RefusalRate().wait_for(f"audit:refused:{actor.id}"):', "if actor:",
        "test_audit.py::test_a_flood_of_refusals_fills_no_table",
    ),
)  # fmt: skip

SETTINGS_AND_ANSWERS = (
    guard(
        "every answer says what a page may do",
        "autocode/middleware.py", '    headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)\n', "",
        "test_settings_of_a_site.py::test_every_answer_carries_the_headers",
    ),
    guard(
        "a site refuses to start half configured",
        "autocode/settings/production.py", "ENVIRONMENT.refuse_problems(production=True)\n", "",
        "test_settings_of_a_site.py::test_a_site_does_not_start_without_what_protects_it",
    ),
    guard(
        "who says nothing is hung up on",
        "apps/realtime/daphne_requests.py", "reactor.callLater(seconds, _hang_up, channel)", "reactor.callLater(seconds * 1_000, _hang_up, channel)",
        "test_gate.py::test_a_client_that_says_nothing_or_never_ends_is_hung_up_on",
    ),
    guard(
        "of one kind of warning ten a second are written",
        "autocode/logs.py", "if self._seen[kind] > self._most:", "if False:",
        "test_gate.py::test_a_thousand_visitors_of_nowhere_leave_a_small_log_and_no_traceback",
    ),
)  # fmt: skip

GUARDS = (
    *GETTING_IN, *BEING_PUT_OUT, *STAYING_APART, *WRITTEN, *THE_WAY_OUT, *WHAT_HAPPENED, *SETTINGS_AND_ANSWERS,
)  # fmt: skip
