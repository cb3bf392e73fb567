// client/js as a client under test: prints each notification when it has handled it.
import { createRequire } from 'node:module'
import { NotificationClient } from '../../../client/js/src/index.js'

const { CARILLON_URL: url, CARILLON_TOKEN: token, CARILLON_CHANNEL: channel } = process.env
// Node 22 and later have one of their own.
const WebSocket = globalThis.WebSocket ?? createRequire(new URL('../../../client/js/package.json', import.meta.url))('ws')

const client = new NotificationClient({ url, token, WebSocket })
client.on('notification', (notification) => { console.log(JSON.stringify(notification)) })
client.on('state', ({ state, code, reason }) => console.error(state, code ?? '', reason ?? ''))
client.on('gap', ({ reason }) => console.error('gap', reason))
client.on('error', ({ code, message }) => console.error('error', code, message))
if (channel) client.subscribe(channel)
client.connect()
