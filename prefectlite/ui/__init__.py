"""The web user interface: its sources in `web/`, what they are built to in `dist/`, and how that is served."""

from __future__ import annotations

from prefectlite.ui.files import CONTENT_SECURITY_POLICY, DIST, StaticFile, index_html, is_page, static_files

__all__ = ["CONTENT_SECURITY_POLICY", "DIST", "StaticFile", "index_html", "is_page", "static_files"]
