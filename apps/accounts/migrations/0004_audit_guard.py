"""The database itself refuses to change the audit trail, or to remove what is younger than 90 days."""

from django.db import migrations

GUARDS = {
    'sqlite': {
        'install': [
            """
            CREATE TRIGGER accounts_auditentry_update BEFORE UPDATE ON accounts_auditentry
            BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
            """,
            """
            CREATE TRIGGER accounts_auditentry_delete BEFORE DELETE ON accounts_auditentry
            WHEN OLD.at > datetime('now', '-90 days')
            BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
            """,
            # INSERT OR REPLACE removes the old row without asking the trigger above.
            """
            CREATE TRIGGER accounts_auditentry_replace BEFORE INSERT ON accounts_auditentry
            WHEN EXISTS (SELECT 1 FROM accounts_auditentry WHERE id = NEW.id)
            BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
            """,
        ],
        'remove': [
            'DROP TRIGGER IF EXISTS accounts_auditentry_update',
            'DROP TRIGGER IF EXISTS accounts_auditentry_delete',
            'DROP TRIGGER IF EXISTS accounts_auditentry_replace',
        ],
    },
    'postgresql': {
        'install': [
            """
            CREATE FUNCTION accounts_auditentry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF TG_OP = 'DELETE' AND OLD.at <= now() - interval '90 days' THEN RETURN OLD; END IF;
              RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'integrity_constraint_violation';
            END $$
            """,
            """
            CREATE TRIGGER accounts_auditentry_change BEFORE UPDATE OR DELETE ON accounts_auditentry
            FOR EACH ROW EXECUTE FUNCTION accounts_auditentry_refuse()
            """,
            """
            CREATE TRIGGER accounts_auditentry_truncate BEFORE TRUNCATE ON accounts_auditentry
            FOR EACH STATEMENT EXECUTE FUNCTION accounts_auditentry_refuse()
            """,
        ],
        'remove': [
            'DROP TRIGGER IF EXISTS accounts_auditentry_change ON accounts_auditentry',
            'DROP TRIGGER IF EXISTS accounts_auditentry_truncate ON accounts_auditentry',
            'DROP FUNCTION IF EXISTS accounts_auditentry_refuse()',
        ],
    },
}


def run(connection, step):
    """Carry out ``install`` or ``remove``."""
    with connection.cursor() as cursor:
        for statement in GUARDS[connection.vendor][step]:
            cursor.execute(statement)


def install(apps, schema_editor):
    run(schema_editor.connection, 'install')


def remove(apps, schema_editor):
    run(schema_editor.connection, 'remove')


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_audit_trail'),
    ]

    operations = [
        migrations.RunPython(install, remove),
    ]
