// An HTTP proxy as some networks have one: it passes on requests, and no upgrade.
import { once } from 'node:events'
import { createServer, request } from 'node:http'

export class HttpProxy {
  /** Upgrades that were refused. */
  refused = 0
  /** Requests that were passed on. */
  passed = 0
  #server = createServer((from, to) => this.#pass(from, to))

  static async start(port) {
    const proxy = new HttpProxy()
    proxy.target = port
    proxy.#server.on('upgrade', (_, socket) => {
      proxy.refused++
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
    })
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    proxy.url = `ws://127.0.0.1:${proxy.#server.address().port}`
    return proxy
  }

  #pass({ method, url, headers }, to) {
    this.passed++
    const upstream = request({ host: '127.0.0.1', port: this.target, method, path: url, headers }, (answer) => {
      to.writeHead(answer.statusCode, answer.headers)
      to.flushHeaders()
      answer.on('error', () => to.destroy())
      answer.pipe(to)
    })
    upstream.on('error', () => to.destroy())
    to.on('close', () => upstream.destroy())
    upstream.end()
  }

  stop() {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
