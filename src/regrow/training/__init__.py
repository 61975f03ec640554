"""Training: settings, schedules, one loop on Lightning Fabric, checkpoints with exact resume."""
