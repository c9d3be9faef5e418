"""The one way in which this app declares each kind of resource."""
