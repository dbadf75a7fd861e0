"""What pages share: the session, the caches, widgets made from parameters, small components."""
