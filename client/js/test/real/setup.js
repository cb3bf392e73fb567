// A client in Node against a real server, with what its handlers were given.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { NotificationClient } from 'carillon-client'
import WebSocket from 'ws'
import { Proxy } from './proxy.js'
import { Carillon, sleep, token, until } from './server.js'

export { assert, Carillon, Proxy, sleep, token, until, WebSocket }

const running = []
after(async () => { for (const it of running.reverse()) await it.stop() })

/** Stopped when the tests of this file are over. */
export function keep(it) {
  running.push(it)
  return it
}

/** A server and a proxy before it. */
export async function start(options) {
  const carillon = keep(await Carillon.start(options))
  const proxy = keep(await Proxy.start(carillon.port))
  return { carillon, proxy }
}

let users = 0
/** A user that no other test has. */
export const newUser = (name = 'user') => `${name}-${++users}-${process.pid}`

/** A client of this user, connected, whose handler notes ids. */
export async function listen(proxy, user, options = {}, handler = ({ id }, it) => { it.given.push(id) }) {
  const client = new NotificationClient({ url: proxy.url, token: token(user), device: 'd1', WebSocket,
    backoff: { baseMs: 100, maxMs: 1000 }, ...options })
  const it = { client, given: [], gaps: [], errors: [], states: [], renewed: [], stop: () => client.disconnect() }
  client.on('gap', (gap) => { it.gaps.push(gap) })
  client.on('error', (error) => { it.errors.push(error) })
  client.on('state', (event) => { it.states.push(event) })
  client.on('authenticated', (frame) => { it.renewed.push(frame) })
  if (handler) client.on('test', (notification) => handler(notification, it))
  client.connect()
  keep(it)
  await until(() => client.state === 'connected', () => `${user} is ${client.state}`)
  return it
}

/** Waits until so many were given, and then that they are exactly these. */
export async function gives(it, ids, patience) {
  await until(() => it.given.length >= ids.length, () => `${it.given.length} of ${ids.length} given, ${it.client.state}`, patience)
  await sleep(50)
  assert.deepEqual(it.given, ids)
  assert.deepEqual(it.gaps, [])
}
