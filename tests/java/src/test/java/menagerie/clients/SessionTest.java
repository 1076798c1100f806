// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.Random;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.ZooKeeper.States;
import org.apache.zookeeper.proto.AuthPacket;
import org.apache.zookeeper.proto.CheckVersionRequest;
import org.apache.zookeeper.proto.CheckWatchesRequest;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.ExistsRequest;
import org.apache.zookeeper.proto.ReplyHeader;
import org.apache.zookeeper.proto.SetDataRequest;
import org.junit.jupiter.api.Test;

/** How sessions begin, are resumed, and end; and what a client says that Java's never would. */
class SessionTest extends ClientTest {
    /** A password is this generator's first bytes, seeded with the id under this mask. */
    private static final long PASSWORD_SALT = 0xB3415C00L;
    private static final int XID_PING = -2;
    private static final int XID_AUTH = -4;

    private Wire wire() throws IOException {
        return closing(new Wire(Server.shared()));
    }

    @Test
    void theTimeoutIsClamped() throws Exception {
        assertEquals(2 * Server.TICK_MILLIS, wire().connect(1).timeout);
        assertEquals(7777, wire().connect(7777).timeout);
        assertEquals(60_000, wire().connect(10_000_000).timeout);
        assertEquals(TIMEOUT, zk.getSessionTimeout());
    }

    @Test
    void aClientThatAllowsReadOnlyGetsAFullServer() throws Exception {
        Events session = Events.ofSession();
        ZooKeeper client = closing(new ZooKeeper(connectString(), TIMEOUT, session, true));
        session.expect("SyncConnected");
        assertEquals(States.CONNECTED, client.getState());
    }

    @Test
    void anOldClientWithoutTheReadOnlyByteIsAnsweredWithoutIt() throws Exception {
        Wire.Session old = wire().connect(0, TIMEOUT, 0, new byte[16], false);
        assertEquals(36, old.length);
        assertNotEquals(0, old.id);
        assertEquals(37, wire().connect(TIMEOUT).length);
    }

    @Test
    void passwordsFollowJavasFormula() throws Exception {
        byte[] expected = new byte[16];
        new Random(zk.getSessionId() ^ PASSWORD_SALT).nextBytes(expected);
        assertArrayEquals(expected, zk.getSessionPasswd());
    }

    @Test
    void aSessionIsResumedWithItsPassword() throws Exception {
        Events first = Events.ofSession();
        ZooKeeper one = closing(new ZooKeeper(connectString(), TIMEOUT, first));
        first.expect("SyncConnected");
        one.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        Events second = Events.ofSession();
        ZooKeeper two =
                closing(
                        new ZooKeeper(
                                connectString(),
                                TIMEOUT,
                                second,
                                one.getSessionId(),
                                one.getSessionPasswd()));
        second.expect("SyncConnected");
        assertEquals(one.getSessionId(), two.getSessionId());
        // Another server than the first one's may have it now: that one finds out when it asks.
        assertThrows(KeeperException.class, () -> one.setData(root, null, -1));
        first.expect("Disconnected");
        one.getTestable().injectSessionExpiration();
        assertEquals(List.of(root + "/e"), two.getEphemerals());
    }

    @Test
    void aWrongPasswordIsAnExpiredSession() throws Exception {
        byte[] wrong = zk.getSessionPasswd().clone();
        wrong[0] ^= 1;
        Events session = Events.ofSession();
        ZooKeeper thief =
                closing(
                        new ZooKeeper(
                                connectString(), TIMEOUT, session, zk.getSessionId(), wrong));
        session.await("Expired");
        assertEquals(Code.SESSIONEXPIRED, codeOf(() -> thief.exists("/", false)));
        // Java hangs up on the session's owner before it looks at the password; the owner returns.
        eventually("the owner is served", () -> isServed(zk));
        Wire.Session refused = wire().connect(0, TIMEOUT, zk.getSessionId(), wrong, true);
        assertEquals(0, refused.timeout);
        assertEquals(0, refused.id);
        assertArrayEquals(new byte[16], refused.password);
    }

    private static boolean isServed(ZooKeeper client) throws Exception {
        try {
            return client.exists("/", false) != null;
        } catch (KeeperException.ConnectionLossException e) {
            return false;
        }
    }

    @Test
    void anUnknownSessionIsExpired() throws Exception {
        long id = 0x7e57_0000_0001L;
        byte[] password = new byte[16];
        new Random(id ^ PASSWORD_SALT).nextBytes(password);
        Wire wire = wire();
        assertEquals(0, wire.connect(0, TIMEOUT, id, password, true).id);
        assertTrue(wire.ended());
    }

    @Test
    void aClientFromTheFutureIsTurnedAway() throws Exception {
        Wire wire = wire();
        assertThrows(
                IOException.class,
                () -> wire.connect(Long.MAX_VALUE / 2, TIMEOUT, 0, new byte[16], true));
    }

    @Test
    void closingElsewhereExpiresTheSession() throws Exception {
        Events session = Events.ofSession();
        ZooKeeper one = closing(new ZooKeeper(connectString(), TIMEOUT, session));
        session.expect("SyncConnected");
        ZooKeeper two =
                new ZooKeeper(
                        connectString(),
                        TIMEOUT,
                        Events.ofSession(),
                        one.getSessionId(),
                        one.getSessionPasswd());
        two.getChildren("/", false);
        two.close();
        session.await("Expired");
        assertEquals(Code.SESSIONEXPIRED, codeOf(() -> one.exists("/", false)));
    }

    @Test
    void aSilentSessionExpiresInItsTickBucket() throws Exception {
        int timeout = 1000;
        Wire wire = wire();
        wire.connect(timeout);
        Events events = Events.ofNodes();
        zk.exists(root + "/e", events);
        int ephemeral = CreateMode.EPHEMERAL.toFlag();
        long before = System.nanoTime();
        wire.request(OpCode.create, new CreateRequest(root + "/e", null, OPEN, ephemeral));
        events.expect("NodeCreated " + root + "/e");
        zk.exists(root + "/e", events);
        events.expect("NodeDeleted " + root + "/e");
        long millis = (System.nanoTime() - before) / 1_000_000;
        assertTrue(millis >= timeout, "not before " + timeout + " ms: " + millis);
        assertTrue(millis < timeout + 2 * Server.TICK_MILLIS + 5000, "but soon: " + millis);
        assertTrue(wire.ended());
    }

    @Test
    void pingsKeepASessionAlive() throws Exception {
        Wire wire = wire();
        wire.connect(1000);
        for (int i = 0; i < 8; i++) {
            Server.pause(300);
            ReplyHeader reply = wire.request(XID_PING, OpCode.ping, null);
            assertEquals(XID_PING, reply.getXid());
            assertEquals(0, reply.getErr());
        }
        assertEquals(0, wire.request(OpCode.exists, new ExistsRequest("/", false)));
    }

    @Test
    void closeSessionIsAnsweredAndThenTheLinkEnds() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        assertEquals(0, wire.request(OpCode.closeSession, null));
        assertTrue(wire.ended());
    }

    @Test
    void anUnknownOperationIsUnimplementedAndEndsTheLink() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        assertEquals(Code.UNIMPLEMENTED.intValue(), wire.request(888, null));
        assertTrue(wire.ended());
    }

    @Test
    void aBareCheckIsUnimplementedAndEndsTheLink() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        assertEquals(
                Code.UNIMPLEMENTED.intValue(),
                wire.request(OpCode.check, new CheckVersionRequest("/", -1)));
    }

    @Test
    void aRequestThatCannotBeReadIsAMarshallingError() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        assertEquals(Code.MARSHALLINGERROR.intValue(), wire.request(OpCode.setData, null));
        assertEquals(Code.MARSHALLINGERROR.intValue(), wire.request(OpCode.getData, null));
        assertEquals(Code.MARSHALLINGERROR.intValue(), wire.request(OpCode.multi, null));
        assertEquals(0, wire.request(OpCode.exists, new ExistsRequest("/", false)));
    }

    @Test
    void checkWatchesKnowsWhatThisLinkWatches() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        wire.request(OpCode.exists, new ExistsRequest(root, true));
        int none = Code.NOWATCHER.intValue();
        for (WatcherType type : WatcherType.values()) {
            var request = new CheckWatchesRequest(root, type.getIntValue());
            boolean watched = type == WatcherType.Data || type == WatcherType.Any;
            int wanted = watched ? 0 : none;
            assertEquals(wanted, wire.request(OpCode.checkWatches, request), type.toString());
        }
    }

    @Test
    void illegalPathsAreBadArguments() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        for (String name : List.of("/", "/.", "/..", "/\u0001", "/\u009f", "/\ufff0")) {
            int create = wire.request(OpCode.create, new CreateRequest(root + name, null, OPEN, 0));
            assertEquals(Code.BADARGUMENTS.intValue(), create, "create " + name);
            int set = wire.request(OpCode.setData, new SetDataRequest(root + name, null, -1));
            assertEquals(Code.BADARGUMENTS.intValue(), set, "setData " + name);
        }
        for (String path : List.of("", "relative")) {
            int create = wire.request(OpCode.create, new CreateRequest(path, null, OPEN, 0));
            assertEquals(Code.BADARGUMENTS.intValue(), create, "create " + path);
        }
    }

    @Test
    void createLooksForTheParentBeforeItJudgesTheName() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        for (String path : List.of("/no/", "/no/..", root + "/./b", root + "//b")) {
            int create = wire.request(OpCode.create, new CreateRequest(path, null, OPEN, 0));
            assertEquals(Code.NONODE.intValue(), create, "create " + path);
        }
    }

    @Test
    void failedAuthenticationIsAnsweredAndEndsTheLink() throws Exception {
        Wire wire = wire();
        wire.connect(TIMEOUT);
        AuthPacket packet = new AuthPacket(0, "nobody-knows", bytes("a:b"));
        assertEquals(
                Code.AUTHFAILED.intValue(),
                wire.request(XID_AUTH, OpCode.auth, packet).getErr());
        assertTrue(wire.ended());
    }
}
