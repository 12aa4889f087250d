-- Each connection waits 5 to 15 ms before its next request, so that the load fixes the rate, not the server.
delay = function() return math.random(5, 15) end
