"""Show what was collected: the page's views, and their queries of the shared file."""
