"""HTTP and Lambda: events in, responses out."""
