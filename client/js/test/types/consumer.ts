// What an application in strict TypeScript writes; compiled, never run.
import { CarillonError, NotificationClient, UnauthorizedError } from 'carillon-client'
import { diagnose } from 'carillon-client/diagnose'
import { createInbox } from 'carillon-client/inbox'
import { useConnectionState, useInbox, useNotifications } from 'carillon-client/react'
import { SharedClient } from 'carillon-client/shared'
import { eventStream, socketOrStream } from 'carillon-client/sse'
import { World } from 'carillon-client/testing'
import { useInbox as useInboxInVue, useNotifications as useInVue } from 'carillon-client/vue'

interface Events {
  'order.shipped': { order: number }
  'chat.message': { from: string; text: string }
}

const client = new NotificationClient<Events>('wss://push.example.com', 'a.b.c')
const off: () => void = client.on('order.shipped', (notification) => {
  const order: number = notification.data.order
  const type: 'order.shipped' = notification.type
  // @ts-expect-error: there is no such field
  notification.data.from
  return [order, type]
})
off()
client.on('notification', (notification) => {
  if (notification.type === 'chat.message') return notification.data.text.length
  const order: number = notification.data.order
  return order
})
client.on('state', ({ state, retryInMs }) => {
  const waiting: boolean = state === 'waiting'
  const ms: number | undefined = retryInMs
  return [waiting, ms]
})
client.on('error', (error: CarillonError) => error.code)
client.on('gap', ({ channel, reason }) => `${channel} ${reason}`)
client.on('changed', ({ what, up_to }) => [what.length, up_to?.length])
client.on('welcome', ({ limits }) => limits.inbox)
client.on('*', (frame) => frame.type)
// @ts-expect-error: no notification of this type
client.on('order.lost', () => {})
client.subscribe('orders', { durable: true }).then(({ cursor, recovered }) => [cursor.length, recovered])
const taken: boolean = client.send({ type: 'ping' })
const { waiting, duplicates }: { waiting: number; duplicates: number } = client.stats

const untyped = new NotificationClient({
  getToken: async ({ reason }) => {
    if (reason === 'unauthorized') throw new UnauthorizedError('sign in')
    return 'a.b.c'
  },
  backoff: { maxAttempts: 10, jitter: false },
  shouldReconnect: ({ code, willRetry }) => willRetry && code !== 4203,
})
untyped.on('anything', ({ data }) => {
  // @ts-expect-error: nobody said what it is
  data.order
})
// @ts-expect-error: a misspelt option
new NotificationClient({ tokn: 'x' })
// @ts-expect-error: neither text nor options
new NotificationClient(7)

const shipped = useNotifications(client, 'order.shipped')
const first: number | undefined = shipped[0]?.data.order
const state: string = useConnectionState(client)
const inVue: readonly { data: { order: number } }[] = useInVue(client, 'order.shipped').value

const shared = new SharedClient<Events>('wss://push.example.com', 'a.b.c')
shared.on('order.shipped', ({ data }) => data.order)
const ofShared = useNotifications(shared, 'order.shipped')

const streamed = new NotificationClient<Events>({ token: 'a.b.c', WebSocket: eventStream() })
new SharedClient({ token: 'a.b.c', WebSocket: socketOrStream({ url: 'https://push.example.com/streams' }) })
// @ts-expect-error: a misspelt option
eventStream({ urls: 'https://push.example.com' })

const world = new World()
new NotificationClient({ token: world.token('alice'), scope: world.page().scope })
world.server.send('alice', { type: 'order.shipped', data: { order: 1 } })

export { first, inVue, ofShared, state, streamed, taken, waiting, duplicates }
diagnose({ url: 'wss://push.example.com', getToken: async () => 'a.b.c' }).then(({ ok, code, message, ms }) => {
  const isMine: boolean = code === 'token_refused' || code === 'mixed_content'
  // @ts-expect-error: there is no such code
  if (code === 'bad_luck') return
  const took: number | undefined = ms
  return [ok, isMine, message.length, took]
})

const inbox = createInbox({ client, getToken: async () => 'a.b.c', api: 'https://push.example.com', limit: 20 })
const { items, unread, status, markRead, markAllRead, more } = useInbox(inbox)
const badge: number = unread
const wasRead: boolean | undefined = items[0]?.read
const asked: Promise<void>[] = [markRead(items[0]), markRead('1-2'), markAllRead(), more()]
const ended: 'loading' | 'ready' | 'failed' = useInboxInVue(inbox).state.value.status
// @ts-expect-error: it needs a token
createInbox({ client })
export const inboxes = [badge, wasRead, asked, status, ended]
