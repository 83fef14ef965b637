"""One file a contestant: what to install, how to start it, what it is; then its app and its push."""
