"""The tables of ``apps/agents/README.md``, from the structs. ``python -m apps.agents.link.reference`` renews them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from apps.agents.link import messages as m

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- tables: begin (python -m apps.agents.link.reference) -->", "<!-- tables: end -->"

_NESTED: dict[str, type[msgspec.Struct]] = {
    "stage": m.InStage,
    "agent": m.InAgent,
    "task": m.InTask,
    "plan": m.InPlan,
    "changes": m.TaskChanges,
}
_LISTS: dict[str, type[msgspec.Struct]] = {"locks": m.InLock, "projects": m.SyncProject}


def tables() -> str:
    """Return both tables as Markdown: a row a type, required fields in bold."""
    return "\n".join(
        [
            "### What you may send",
            "",
            *_table(dict(m.INBOUND)),
            "",
            "### What AutoCode sends",
            "",
            *_table(dict(m.OUTBOUND)),
        ]
    )


def renewed(readme: str) -> str:
    """Return the page with fresh tables between its marks."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


def _table(types: dict[str, type[msgspec.Struct]]) -> list[str]:
    return ["| type | data |", "|---|---|", *(f"| `{name}` | {_fields(kind)} |" for name, kind in types.items())]


def _fields(kind: type[msgspec.Struct]) -> str:
    return " ".join(_field(one, kind) for one in msgspec.structs.fields(kind))


def _field(one: msgspec.structs.FieldInfo, kind: type[msgspec.Struct]) -> str:
    name = f"**{one.encode_name}**" if one.required else one.encode_name
    nested = _NESTED.get(one.name) if issubclass(kind, m.Inbound) else None
    listed = _LISTS.get(one.name)
    if nested is not None:
        return f"{name}{{{_fields(nested)}}}"
    return f"{name}[{_fields(listed)}]" if listed is not None else name


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
