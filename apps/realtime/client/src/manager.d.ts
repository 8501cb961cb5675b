import type { AutoCodeClient } from "./types.js";

/** The one client of the page. */
export declare const wsManager: AutoCodeClient;
export default wsManager;
