"""Logins by tokens. The tables of simplejwt's blacklist go: they kept every refresh token in the clear."""

import apps.core.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='TokenFamily',
            fields=[
                ('id', models.UUIDField(default=apps.core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('current', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('used_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(db_index=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('ended_by', models.CharField(blank=True, max_length=12)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='token_families', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'token families',
                'ordering': ['-created_at'],
            },
        ),
        migrations.RunSQL('DROP TABLE IF EXISTS token_blacklist_blacklistedtoken', migrations.RunSQL.noop),
        migrations.RunSQL('DROP TABLE IF EXISTS token_blacklist_outstandingtoken', migrations.RunSQL.noop),
    ]
