"""Command line, loading, reports and export: the only place that joins systems and engine."""
