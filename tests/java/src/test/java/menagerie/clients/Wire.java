// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.Socket;
import org.apache.jute.BinaryInputArchive;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.proto.ReplyHeader;
import org.apache.zookeeper.proto.RequestHeader;

/** A bare connection, for what Java's own client would never send. */
final class Wire implements AutoCloseable {
    private final Socket socket;
    private final DataInputStream in;
    private final DataOutputStream out;
    private int xid;

    /** The server's answer to a connect request. */
    static final class Session {
        int length;
        int timeout;
        long id;
        byte[] password;
    }

    Wire(Server server) throws IOException {
        socket = new Socket("127.0.0.1", server.port());
        socket.setSoTimeout(20_000);
        in = new DataInputStream(socket.getInputStream());
        out = new DataOutputStream(socket.getOutputStream());
    }

    /** Opens a new session. */
    Session connect(int timeout) throws IOException {
        return connect(0, timeout, 0, new byte[16], true);
    }

    Session connect(long zxid, int timeout, long id, byte[] password, boolean withReadOnly)
            throws IOException {
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        DataOutputStream record = new DataOutputStream(buffer);
        record.writeInt(0);
        record.writeLong(zxid);
        record.writeInt(timeout);
        record.writeLong(id);
        record.writeInt(password.length);
        record.write(password);
        if (withReadOnly) {
            record.writeBoolean(false);
        }
        send(buffer.toByteArray());
        byte[] reply = frame();
        Session session = new Session();
        session.length = reply.length;
        DataInputStream fields = new DataInputStream(new ByteArrayInputStream(reply));
        fields.readInt();
        session.timeout = fields.readInt();
        session.id = fields.readLong();
        session.password = new byte[fields.readInt()];
        fields.readFully(session.password);
        return session;
    }

    /** Sends a request and answers with the error code of its reply. */
    int request(int type, Record body) throws IOException {
        return request(++xid, type, body).getErr();
    }

    ReplyHeader request(int withXid, int type, Record body) throws IOException {
        ByteArrayOutputStream buffer = new ByteArrayOutputStream();
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(buffer);
        new RequestHeader(withXid, type).serialize(archive, "header");
        if (body != null) {
            body.serialize(archive, "request");
        }
        send(buffer.toByteArray());
        ReplyHeader header = new ReplyHeader();
        header.deserialize(
                BinaryInputArchive.getArchive(new ByteArrayInputStream(frame())), "header");
        return header;
    }

    private void send(byte[] frame) throws IOException {
        out.writeInt(frame.length);
        out.write(frame);
        out.flush();
    }

    private byte[] frame() throws IOException {
        byte[] frame = new byte[in.readInt()];
        in.readFully(frame);
        return frame;
    }

    /** Whether the server has ended the connection, with nothing more to read. */
    boolean ended() throws IOException {
        try {
            return in.read() == -1;
        } catch (java.net.SocketException e) {
            return true;
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
