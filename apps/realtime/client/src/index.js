/** The AutoCode client: one socket, any number of rooms, nothing lost and nothing shown twice. */

export { AutoCodeClient } from "./client.js";
export { Room } from "./room.js";
export { fold } from "./fold.js";
export { CommandError, ConnectionError } from "./errors.js";
