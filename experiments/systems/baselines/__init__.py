"""What the main system is compared with: trainings of the baselines, alone and in tables."""
