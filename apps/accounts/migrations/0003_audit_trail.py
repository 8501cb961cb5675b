import apps.core.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_token_families'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.UUIDField(default=apps.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_index=True)),
                ('deed', models.CharField(max_length=30)),
                ('outcome', models.CharField(max_length=8)),
                ('actor_kind', models.CharField(max_length=10)),
                ('actor_id', models.CharField(blank=True, max_length=36)),
                ('actor_name', models.CharField(blank=True, max_length=200)),
                ('subject', models.CharField(blank=True, max_length=200)),
                ('subject_name', models.CharField(blank=True, max_length=200)),
                ('project', models.CharField(blank=True, max_length=36)),
                ('address', models.CharField(blank=True, max_length=200)),
                ('client', models.CharField(blank=True, max_length=200)),
                ('correlation_id', models.CharField(blank=True, max_length=64)),
                ('details', models.JSONField(default=dict)),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit trail',
                'ordering': ['-at', '-id'],
                'indexes': [models.Index(fields=['actor_id', '-at'], name='accounts_au_actor_i_7ecaf9_idx'), models.Index(fields=['project', '-at'], name='accounts_au_project_c31c6f_idx')],
            },
        ),
    ]
