"""`easel batch`: a file of requests in, images and a table of results out, on Ray Data."""
