// A gateway that breaks one rule: a real one, and between it and its clients somebody who changes what is said.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { acceptOf, open, Refused, Socket } from '../src/socket.js'
import { OPCODE } from '../src/wire.js'

const HOURS = 4 * 3_600_000

/**
 * @param rules `fromServer(frame, say)` and `fromClient(frame, say)` give what is passed on: a frame, none, or several;
 *   `say(frame)` speaks to the other side. `query(parameters)`, `end({ code, reason })`, `begin(say, isV1)`, `passesPings`.
 */
export async function startMutant(target, { fromServer = (it) => it, fromClient = (it) => it, query = () => {}, end = (it) => it,
  begin = () => {}, passesPings = true }) {
  const http = createServer((_, response) => response.writeHead(426).end())
  const sockets = new Set()

  /** Everything that one side says goes to the other. */
  const carry = async (from, to, change) => {
    for (;;) {
      const what = await from.next(() => true, HOURS)
      if (what.end) {
        const { code, reason } = end(what.end)
        if (code === 1006) return to.cut()
        return code === 1005 ? to.raw(OPCODE.close) : to.close(code, reason)
      }
      if (what.ping !== undefined && passesPings) to.raw(OPCODE.ping, what.ping)
      if (what.pong !== undefined) to.raw(OPCODE.pong, what.pong)
      if (!what.frame) {
        // No frame at all, which is for the other side to say.
        if (what.text !== undefined) to.send(what.text)
        continue
      }
      for (const frame of [change(what.frame, (it) => to.send(it), (it) => from.send(it)) ?? []].flat()) to.send(frame)
    }
  }

  http.on('upgrade', async ({ url, headers }, stream, head) => {
    stream.on('error', () => {})
    const to = new URL(target)
    const asked = new URL(url, target).searchParams
    query(asked)
    to.search = asked.toString()
    const protocols = (headers['sec-websocket-protocol'] ?? '').split(',').map((it) => it.trim()).filter(Boolean)
    let upstream
    try {
      upstream = await open(to.href, { protocols, answersPings: false, headers: headers.authorization ? { authorization: headers.authorization } : {} })
    } catch (error) {
      const status = error instanceof Refused ? error.status : 502
      return stream.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`)
    }
    stream.write(['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${acceptOf(headers['sec-websocket-key'])}`,
      ...upstream.protocol ? [`Sec-WebSocket-Protocol: ${upstream.protocol}`] : [], '', ''].join('\r\n'))
    const client = new Socket(stream, { isClient: false, head, answersPings: false })
    sockets.add(client).add(upstream)
    begin((frame) => client.send(frame), upstream.protocol !== undefined)
    carry(upstream, client, fromServer)
    carry(client, upstream, fromClient)
    return undefined
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const at = new URL(target)
  return {
    ws: `ws://127.0.0.1:${http.address().port}${at.pathname}`,
    stop() {
      for (const { stream } of sockets) stream.destroy()
      http.close()
    },
  }
}
