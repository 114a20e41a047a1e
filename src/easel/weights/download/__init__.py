"""Downloads of one weights file over several connections, verified while it arrives, and resumed after anything.

Unfinished bytes are in TARGET.part, and TARGET.part.journal says which of them count. The parts:

    fetch.py        the one entry, fetch_file: with ranges or in one stream, from the beginning again where that helps
    chunks.py       what is on disk, which chunk is next, and the threads that fetch and digest them
    connection.py   one connection, by urllib3: redirects, proxies, TLS, errors, retries
    threads.py      what the threads share: when to stop, the signed URL, what has arrived
    responses.py    what a server's response says, and whether it is to be believed
"""
