"""`easel page`: the models of an API in the browser. All that it shows of them is what the API tells.

A server of our own hands it out, rather than a file that speaks to the API itself, for two reasons. The token stays
here: the browser asks this server, which adds it, so nothing that runs in the page can read it. And Replicate's API
allows no requests from the pages of other origins (CORS), so only through a server does the same page work there too.

It is not built on Gradio, which most people of this field know: Gradio 6.31 asks for pillow below 13, and pip refuses
it beside the release that the model is pinned to. The page is HTML, CSS and JavaScript modules as they stand in
`static/`: nothing is built, and nothing is fetched from elsewhere.
"""
