-- Each connection waits 5 to 15 ms before its next request: the rate is the load's, whatever the server.
delay = function() return math.random(5, 15) end
