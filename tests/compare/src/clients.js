// How each client is opened: as its documentation says, with what it does by default. `given` is called with each
// notification, `opened` whenever it has connected.
import WebSocket from 'ws'

/** Name → what opens it. Loaded one at a time, so that a process has only its own. */
export const CLIENTS = {
  async 'carillon-client'({ port, given, opened }) {
    const { NotificationClient } = await import('carillon-client')
    const token = `e30.${Buffer.from(JSON.stringify({ sub: 'u', exp: 4_102_444_800 })).toString('base64url')}.e30`
    const client = new NotificationClient({ url: `ws://127.0.0.1:${port}`, token, device: 'd', WebSocket })
    client.on('order.shipped', given)
    client.on('state', () => client.state === 'connected' && opened())
    client.connect()
  },
  async centrifuge({ port, given, opened }) {
    const { Centrifuge } = await import('centrifuge')
    const client = new Centrifuge(`ws://127.0.0.1:${port}`, { websocket: WebSocket })
    const subscription = client.newSubscription('n')
    subscription.on('publication', ({ data }) => given(data))
    subscription.on('subscribed', opened)
    subscription.subscribe()
    client.connect()
  },
  async 'socket.io-client'({ port, given, opened }) {
    const { io } = await import('socket.io-client')
    const client = io(`http://127.0.0.1:${port}`, { transports: ['websocket'] })
    client.on('notification', given)
    client.on('connect', opened)
  },
  async partysocket({ port, given, opened }) {
    const { WebSocket: Reconnecting } = await import('partysocket')
    const client = new Reconnecting(`ws://127.0.0.1:${port}`, [], { WebSocket })
    client.addEventListener('message', ({ data }) => given(JSON.parse(data)))
    client.addEventListener('open', opened)
  },
  async 'graphql-ws'({ port, given, opened }) {
    const { createClient } = await import('graphql-ws')
    // By default it gives up at the first attempt that fails.
    const client = createClient({ url: `ws://127.0.0.1:${port}`, webSocketImpl: WebSocket, shouldRetry: () => true, on: { connected: opened } })
    client.subscribe({ query: 'subscription { notification }' }, { next: ({ data }) => given(data.notification), error() {}, complete() {} })
  },
}
