"""A web server for pages on one's own machine: routes as data, one computation at a time."""
