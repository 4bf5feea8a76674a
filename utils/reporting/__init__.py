"""Reports, pictures, charts and tables."""
