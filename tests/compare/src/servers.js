// A process with a server for each client: just as much of it as the client needs, so that what is measured is the
// client. Over IPC: { name, count, from } sends so many notifications to whoever is connected.
import { createServer } from 'node:http'
import { GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLScalarType, GraphQLSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { Server as SocketIo } from 'socket.io'
import { WebSocketServer } from 'ws'
import { frame, notification, welcome } from './notifications.js'

/** Frames are written in pieces, so that the sockets' buffers stay small. */
const PIECE = 500

/** Name → writes one notification to everyone. @type {Record<string, (n: number) => void>} */
const send = {}
const urls = {}

async function listen(server, name) {
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  urls[name] = server.address().port
}

/** A server of bare WebSockets. */
async function plain(name, options, { greet = () => {}, hear = () => {}, write }) {
  const http = createServer()
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false, ...options })
  sockets.on('connection', (socket) => {
    greet(socket)
    socket.on('message', (text) => hear(socket, String(text)))
  })
  send[name] = (n) => {
    const text = write(n)
    for (const socket of sockets.clients) socket.send(text)
  }
  await listen(http, name)
}

await plain('carillon-client', { handleProtocols: () => 'carillon.v1' }, {
  greet: (socket) => welcome().forEach((it) => socket.send(JSON.stringify(it))),
  write: (n) => JSON.stringify(frame(n)),
})
await plain('partysocket', {}, { write: (n) => JSON.stringify(notification(n)) })
// The JSON protocol of https://centrifugal.dev/docs/transports/client_protocol, as far as one subscription needs it.
await plain('centrifuge', {}, {
  hear(socket, text) {
    for (const line of text.split('\n').filter(Boolean)) {
      const { id, connect, subscribe } = JSON.parse(line)
      if (connect) socket.send(JSON.stringify({ id, connect: { client: 'c', version: '6', ping: 25, pong: true } }))
      if (subscribe) socket.send(JSON.stringify({ id, subscribe: {} }))
    }
  },
  write: (n) => JSON.stringify({ push: { channel: 'n', pub: { data: notification(n) } } }),
})

{
  const http = createServer()
  const io = new SocketIo(http, { transports: ['websocket'], perMessageDeflate: false })
  send['socket.io-client'] = (n) => io.emit('notification', notification(n))
  await listen(http, 'socket.io-client')
}

{
  const Json = new GraphQLScalarType({ name: 'Json' })
  const waiting = new Set()
  const subscription = new GraphQLObjectType({ name: 'Subscription', fields: {
    notification: { type: new GraphQLNonNull(Json), resolve: (it) => it, async* subscribe() {
      const queue = []
      let wake = () => {}
      const put = (it) => { queue.push(it); wake() }
      waiting.add(put)
      try {
        for (;;) {
          while (queue.length) yield queue.shift()
          await new Promise((resolve) => { wake = resolve })
        }
      } finally {
        waiting.delete(put)
      }
    } },
  } })
  const query = new GraphQLObjectType({ name: 'Query', fields: { version: { type: GraphQLInt } } })
  const http = createServer()
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false })
  useServer({ schema: new GraphQLSchema({ query, subscription }) }, sockets)
  send['graphql-ws'] = (n) => waiting.forEach((put) => put(notification(n)))
  await listen(http, 'graphql-ws')
}

process.on('message', ({ name, count, from }) => {
  let n = from
  const more = () => {
    for (const end = Math.min(n + PIECE, from + count); n < end; n++) send[name](n)
    if (n < from + count) setImmediate(more)
  }
  more()
})
process.on('disconnect', () => process.exit())
process.send(urls)
