// Rooms with ws: one frame is sent to each client of a room, in the memory of one process.
"use strict";
const { WebSocketServer, WebSocket } = require("ws");

const rooms = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const room = rooms.get(request.url) ?? new Set();
  rooms.set(request.url, room.add(socket));
  socket.on("message", (data) => {
    for (const client of room) if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false });
  });
  socket.on("close", () => room.delete(socket));
  socket.on("error", () => room.delete(socket));
});
