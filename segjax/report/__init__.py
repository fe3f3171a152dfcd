"""report.html of a run, or of several side by side: one file that needs nothing else, made of what run folders hold."""

from segjax.report.folder import RunFiles, read_run
from segjax.report.page import write_report, write_run_page, write_runs_page

__all__ = ["RunFiles", "read_run", "write_report", "write_run_page", "write_runs_page"]
