"""One large file over several connections, resumed where it was stopped, its digest known when it is here."""
