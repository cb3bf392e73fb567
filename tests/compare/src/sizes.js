// What a page loads of each client: a bundle of what it needs for notifications, minified and gzipped.
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const USES = {
  'carillon-client': 'export { NotificationClient } from "carillon-client"',
  centrifuge: 'export { Centrifuge } from "centrifuge"',
  'socket.io-client': 'export { io } from "socket.io-client"',
  partysocket: 'export { WebSocket } from "partysocket"',
  'graphql-ws': 'export { createClient } from "graphql-ws"',
}

/** Bytes on the wire. */
export async function sizeOf(name, folder) {
  const { outputFiles: [{ contents }] } = await build({ stdin: { contents: USES[name], resolveDir: folder }, bundle: true, minify: true, format: 'esm',
    platform: 'browser', target: 'es2022', write: false, logLevel: 'error' })
  return gzipSync(contents, { level: 9 }).length
}
