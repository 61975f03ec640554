"""Where the runs of a study are executed: processes of this machine, or a cluster of machines."""
