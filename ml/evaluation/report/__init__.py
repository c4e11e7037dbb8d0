"""An evaluation as text, JSON, a page with pictures and a table: how it is told, never what."""
