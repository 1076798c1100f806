// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;

/** A link that can be cut: forwards to the server, or while cut accepts nobody. */
final class Proxy implements AutoCloseable {
    private final ServerSocket listener =
            new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final Server server;
    private final List<Socket> open = new ArrayList<>();
    private boolean cut;

    Proxy(Server server) throws IOException {
        this.server = server;
        daemon(this::accept);
    }

    String connectString() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Ends every connection, and each later one until {@link #mend}. */
    synchronized void cut() throws IOException {
        cut = true;
        for (Socket socket : open) {
            socket.close();
        }
        open.clear();
    }

    synchronized void mend() {
        cut = false;
    }

    private void accept() {
        while (!listener.isClosed()) {
            try {
                join(listener.accept());
            } catch (IOException e) {
                // The server is down or we are closing: the client tries again.
            }
        }
    }

    private synchronized void join(Socket client) throws IOException {
        if (cut) {
            client.close();
            return;
        }
        open.add(client);
        try {
            Socket upstream = new Socket("127.0.0.1", server.port());
            open.add(upstream);
            daemon(() -> pump(client, upstream));
            daemon(() -> pump(upstream, client));
        } catch (IOException e) {
            client.close();
        }
    }

    private static void pump(Socket from, Socket to) {
        try (from; to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            in.transferTo(out);
        } catch (IOException e) {
            // Cut: both ends are closed.
        }
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public void close() throws IOException {
        cut();
        listener.close();
    }
}
