"""Shows what was collected: the page's views, and what they ask of the shared file."""
