"""HTTP addresses of the rooms."""

urlpatterns: list = []
