"""What every command shares: errors, options, the command line, progress, files here and on S3."""
