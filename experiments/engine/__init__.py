"""What all scripts share: command line, runs, stages, tables. It knows no paper and no data set."""
