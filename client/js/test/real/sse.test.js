// Event streams of a real server: the same as over sockets.
import { test } from 'node:test'
import { NotificationClient } from 'carillon-client'
import { eventStream, socketOrStream } from 'carillon-client/sse'
import { HttpProxy } from './http-proxy.js'
import { assert, gives, keep, listen, newUser, sleep, start, token, until, WebSocket } from './setup.js'

const { carillon, proxy } = await start({ settings: { CARILLON__SOCKET__PING_INTERVAL: '1s', CARILLON__SOCKET__PONG_TIMEOUT: '800ms' } })
const overStreams = (user, more) => listen(proxy, user, { WebSocket: eventStream(), ...more })

test('sixty resets and closes while notifications come', async () => {
  const user = newUser()
  const it = await overStreams(user)
  const ids = []
  for (let round = 0; round < 60; round++) {
    ids.push(...await carillon.sendMany(1 + round % 3, user))
    if (round % 2) proxy.reset()
    else proxy.close()
    if (round % 10 === 0) await until(() => it.client.state === 'connected', () => it.client.state)
  }
  await gives(it, ids)
  assert.deepEqual(it.errors, [])
})

test('more than a stream holds, live and missed', async () => {
  const user = newUser()
  const it = await overStreams(user)
  const states = it.states.length
  const ids = await carillon.sendMany(300, user)
  await gives(it, ids)
  assert.deepEqual(it.states.slice(states), [], 'the page saw nothing of the streams that followed each other')
  it.client.disconnect()
  const missed = await carillon.sendMany(300, user)
  it.client.connect()
  await gives(it, [...ids, ...missed])
  assert.deepEqual(it.errors, [])
})

test('who came back has acked: the device is given nothing of it again', async () => {
  const user = newUser()
  const it = await overStreams(user, { device: 'one' })
  const ids = await carillon.sendMany(3, user)
  await gives(it, ids)
  await sleep(500)
  proxy.reset()
  ids.push(...await carillon.sendMany(1, user))
  await gives(it, ids)
  await sleep(1_500)
  it.client.disconnect()
  const other = await listen(proxy, user, { device: 'one' })
  const [last] = await carillon.sendMany(1, user)
  await until(() => other.given.includes(last), () => `${other.given}`)
  assert.equal(other.given.some((id) => ids.slice(0, 3).includes(id)), false)
})

test('half-open: found out, and nothing is missing', async () => {
  const user = newUser()
  const it = await overStreams(user)
  const ids = await carillon.sendMany(2, user)
  await gives(it, ids)
  proxy.freeze()
  ids.push(...await carillon.sendMany(5, user))
  await gives(it, ids, 25_000)
})

test('broadcasts and channels over resets', async () => {
  const user = newUser()
  const it = await overStreams(user)
  const channel = `news-${user}`
  const { recovered } = await it.client.subscribe(channel)
  assert.equal(recovered, true)
  const ids = []
  for (let round = 0; round < 20; round++) {
    ids.push(await carillon.publish(channel, round))
    if (round % 2) proxy.reset()
    ids.push(await carillon.publish(channel, round))
    await sleep(50)
  }
  await gives(it, ids)
  for (let round = 0; round < 10; round++) {
    ids.push(await carillon.publish(null, round))
    await until(() => it.client.state === 'connected', () => it.client.state)
    if (round % 2) proxy.reset()
  }
  await gives(it, ids)
  await assert.rejects(it.client.subscribe('private:x'), { code: 'channel_forbidden' })
  it.client.unsubscribe(channel)
  await carillon.publish(channel, 'nobody hears this')
  it.client.subscribe(channel)
  await sleep(1_000)
  ids.push(await carillon.publish(channel, 'again'))
  await gives(it, ids)
})

test('a channel goes on on a stream where a socket left it, and on a socket where a stream did', async () => {
  const user = newUser()
  const kept = new Map()
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) }
  const channel = `moved-${user}`
  const ids = []
  let given = []
  for (const Transport of [WebSocket, eventStream(), WebSocket, eventStream()]) {
    const it = await listen(proxy, user, { WebSocket: Transport, storage })
    it.given = given
    await it.client.subscribe(channel)
    ids.push(await carillon.publish(channel), await carillon.publish(channel))
    await gives(it, ids)
    it.client.disconnect()
    given = it.given
    ids.push(await carillon.publish(channel), await carillon.publish(channel))
  }
})

test('a token that ends is followed by another, and a refused one is the end', async () => {
  const user = newUser()
  const reasons = []
  const getToken = ({ reason }) => {
    reasons.push(reason)
    return token(user, { lifetime: reasons.length === 1 ? 30 : 3_600 })
  }
  // The first token's end is near from its beginning: the second stream may be there as soon as the client is connected.
  const it = await overStreams(user, { token: undefined, getToken })
  await until(() => it.renewed.length === 1, () => reasons)
  assert.deepEqual([reasons, it.client.state, it.errors], [['connect', 'expiring'], 'connected', []])
  const ids = await carillon.sendMany(2, user)
  await gives(it, ids)

  const client = new NotificationClient({ url: proxy.url, token: 'a.b.c', WebSocket: eventStream() })
  keep({ stop: () => client.disconnect() })
  const states = []
  client.on('state', (event) => { states.push(event) })
  client.connect()
  await until(() => client.state === 'failed', () => client.state)
  assert.deepEqual([states.at(-1).code, states.at(-1).reason], [4001, 'token_malformed'])
})

test('a proxy that passes on no upgrade: streams, after two sockets', async () => {
  const http = keep(await HttpProxy.start(carillon.port))
  const user = newUser()
  const it = await listen(http, user, { WebSocket: socketOrStream({ WebSocket }) })
  const ids = await carillon.sendMany(100, user)
  await gives(it, ids)
  assert.equal(http.refused, 2)
  assert.ok(http.passed >= 1)
})

test('no proxy in the way: sockets', async () => {
  const user = newUser()
  const it = await listen(proxy, user, { WebSocket: socketOrStream({ WebSocket }) })
  const frames = []
  it.client.on('pong', (frame) => { frames.push(frame) })
  it.client.send({ type: 'ping' })
  await until(() => frames.length === 1, () => 'no pong')
  assert.equal(typeof frames[0].timestamp, 'string', 'of the server itself')
})
