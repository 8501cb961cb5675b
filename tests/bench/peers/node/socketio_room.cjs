// A socket.io room with its in-process adapter: it has no Redis to talk to, which the others have.
"use strict";
const http = require("node:http");
const { Server } = require("socket.io");

const httpServer = http.createServer();
const io = new Server(httpServer, { transports: ["websocket"] });

io.on("connection", (socket) => {
  socket.on("join", (room, done) => { socket.join(room); done("ok"); });
  socket.on("say", (room, text) => { io.to(room).emit("message", { message: text }); });
});
httpServer.listen(Number(process.argv[2]), "127.0.0.1", 4096);
