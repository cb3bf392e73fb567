// A small client that keeps every rule, written from docs/protocol.md alone, and that breaks the one which BREAKS names.
import { open, sleep } from '../src/socket.js'

const { CARILLON_URL: url, CARILLON_TOKEN: token, CARILLON_CHANNEL: channel, BREAKS } = process.env
const breaks = (rule) => BREAKS === rule

let session
/** Of the inbox and of the channel: everything up to there is handled. */
const handled = {}
const seen = new Set()
let attempt = 0
/** The connection that counts, and since when. */
let current
let since = 0
/** Of the attempt that counts. */
let turn = 0

const pause = (first) => Math.min(30_000, first * 2 ** attempt++) * (0.5 + Math.random() / 2)

async function connect() {
  const mine = ++turn
  const address = new URL(url)
  if (session && !breaks('session')) address.searchParams.set('session', session)
  if (handled.inbox && !breaks('since')) address.searchParams.set('since', handled.inbox)
  let socket
  try {
    socket = await open(address.href, { protocols: ['carillon.v1'], headers: { authorization: `Bearer ${token}` }, answersPings: !breaks('pong') })
  } catch {
    if (mine !== turn) return
    await sleep(pause(1_000))
    return connect()
  }
  follow(socket)
}

async function follow(socket) {
  const act = {
    welcome(frame) {
      const old = current
      current = socket
      since = Date.now()
      old?.close()
      session ??= frame.session
      handled.inbox ??= frame.cursor
      watch(socket, frame.ping_interval_ms)
      if (channel) socket.send({ type: 'subscribe', channel, since: breaks('channel') ? undefined : handled.channel })
    },
    subscribed: (frame) => { handled.channel ??= frame.cursor },
    gap: ({ channel: log, resume }) => {
      if (!breaks('gap')) handled[log === null ? 'inbox' : 'channel'] = resume
    },
    async reconnect({ after_ms, spread_ms }) {
      if (breaks('hint')) return
      await sleep(breaks('spread') ? after_ms : after_ms + Math.random() * spread_ms)
      if (breaks('make-before-break')) socket.close()
      connect()
    },
  }
  for (;;) {
    const { frame, end } = await socket.next((it) => it.frame || it.end, 24 * 3_600_000)
    if (end) return socket === current || !current ? ended(end) : undefined
    const isNotification = breaks('by-type') ? !act[frame.type] && frame.type !== 'error' && frame.type !== 'pong' : frame.id
    if (isNotification) notify(socket, frame)
    else if (act[frame.type]) act[frame.type](frame)
    else if (breaks('unknown') && !['replayed', 'pong', 'error', 'unsubscribed', 'token_expiring', 'authenticated'].includes(frame.type)) throw new Error(`what is ${frame.type}?`)
  }
}

function notify(socket, frame) {
  const log = frame.target_user === null ? 'channel' : 'inbox'
  if (!seen.has(frame.id) || breaks('once')) {
    seen.add(frame.id)
    console.log(JSON.stringify(frame))
  }
  handled[log] = frame.cursor
  if (breaks('acks')) return
  socket.send({ type: 'ack', cursor: breaks('own-cursors') ? `${Number(frame.cursor.split('-')[0]) + 1}-7` : frame.cursor })
}

/** Asks when nothing has come for a while, and gives up when nothing comes then. */
async function watch(socket, every) {
  while (socket === current && !socket.end) {
    const heard = socket.all.length
    await sleep(every)
    if (socket.all.length > heard) continue
    socket.send({ type: 'ping' })
    await sleep(5_000)
    if (socket.all.length > heard || socket !== current) continue
    socket.cut()
    return
  }
}

async function ended({ code }) {
  current = undefined
  if (Date.now() - since > 5_000) attempt = 0
  const hundred = Math.floor(code / 100)
  if (hundred === 40 && code !== 4008 && !breaks('stop')) process.exit(1)
  if (hundred === 42 && (attempt === 0 || breaks('hammer'))) attempt++
  else if (!breaks('pause')) await sleep(pause(1_000))
  connect()
}

connect()
