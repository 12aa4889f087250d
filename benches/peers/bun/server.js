// uWebSockets inside Bun: a native build on its own epoll loop. `bun server.js PORT`
// The paths of the other peers, without /100k and /echo, which would measure JavaScript.
const port = Number(process.argv[2]);
const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request, server) {
        const path = new URL(request.url).pathname;
        if (server.upgrade(request, { data: path })) return;
        return new Response("Hello, World!", { headers: { "Content-Type": "text/plain" } });
    },
    websocket: {
        data: "",
        maxPayloadLength: 32 << 20,
        backpressureLimit: 64 << 20,
        idleTimeout: 600,
        perMessageDeflate: false,
        open(socket) {
            if (socket.data === "/sub") socket.subscribe("t");
        },
        message(socket, message) {
            if (socket.data === "/ws") socket.send(message);
            else if (socket.data === "/pub") server.publish("t", message);
        },
    },
});
