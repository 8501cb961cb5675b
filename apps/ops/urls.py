"""The addresses of ops."""

from django.urls import path

from apps.ops.health import healthz, readyz
from apps.ops.metrics import metrics

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
