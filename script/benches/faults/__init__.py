"""`script/bench api-faults`: `easel api` while everything around it breaks."""
