"""What keeps a worker safe in our stores: keys, seals, blind indexes, the access log."""
