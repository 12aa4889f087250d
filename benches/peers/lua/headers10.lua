-- The browser-like request head with three more fields, sixteen requests per write; /ten looks up ten fields.
local here = debug.getinfo(1, "S").source:sub(2):match("(.*/)") or "./"
dofile(here .. "headers.lua")
wrk.headers["Referer"] = "http://127.0.0.1/previous/page?id=7"
wrk.headers["Sec-Fetch-Dest"] = "document"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
dofile(here .. "pipeline.lua")
