// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Quotas;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A server of its own with the settings nobody touched, stopped, killed and started again. */
class RestartTest extends ClientTest {
    private Server server;
    private Events session;

    @Override
    String connectString() {
        return server.connectString();
    }

    @Override
    @BeforeEach
    void openClient() throws Exception {
        server = closing(new Server("4lw.commands.whitelist=*"));
        server.start();
        session = Events.ofSession();
        zk = closing(new ZooKeeper(connectString(), TIMEOUT, session));
        session.expect("SyncConnected");
        root = zk.create("/java-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
    }

    private void killAndStart() throws Exception {
        server.kill();
        session.expect("Disconnected");
        server.start();
        session.expect("SyncConnected");
    }

    @Test
    void theTreeAndTheSessionSurviveAKill() throws Exception {
        long id = zk.getSessionId();
        String path = make("žofie", "1");
        make("žofie/null", null);
        zk.setData(path, bytes("2"), 0);
        zk.setACL(path, Ids.READ_ACL_UNSAFE, 0);
        zk.create(root + "/e", bytes("mine"), OPEN, CreateMode.EPHEMERAL);
        zk.create(root + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
        Stat[] before = {stat(root), stat(path), stat(root + "/e")};
        killAndStart();
        assertEquals(id, zk.getSessionId());
        assertEquals(List.of(before), List.of(stat(root), stat(path), stat(root + "/e")));
        assertEquals(List.of(root + "/e"), zk.getEphemerals());
        assertEquals("2", text(zk.getData(path, false, null)));
        assertEquals(null, zk.getData(path + "/null", false, null));
        assertEquals(Ids.READ_ACL_UNSAFE, zk.getACL(path, null));
        assertEquals(
                root + "/s-0000000003",
                zk.create(root + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
    }

    @Test
    void everyAcknowledgedWriteIsThereAfterEachKill() throws Exception {
        Set<String> written = new TreeSet<>();
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 200; i++) {
                String name = round + "-" + i;
                make(name, name);
                written.add(name);
            }
            long last = stat(root).getPzxid();
            killAndStart();
            assertEquals(written, new TreeSet<>(zk.getChildren(root, false)));
            assertTrue(stat(make("next" + round, "")).getCzxid() > last, "zxids go on");
            written.add("next" + round);
        }
    }

    @Test
    void aSessionSurvivesACleanStopAndItsWatchesFire() throws Exception {
        String path = make("a", "");
        Events events = Events.ofNodes();
        zk.getData(path, events, null);
        server.stop();
        session.expect("Disconnected");
        server.start();
        session.expect("SyncConnected");
        events.expectNone(zk);
        zk.setData(path, null, -1);
        events.expect("NodeDataChanged " + path);
    }

    @Test
    void aSessionWhoseClientNeverReturnsExpiresAfterTheRestart() throws Exception {
        Proxy proxy = closing(new Proxy(server));
        ZooKeeper lost = connect(proxy.connectString(), 2000);
        lost.create(root + "/lost", null, OPEN, CreateMode.EPHEMERAL);
        zk.create(root + "/kept", null, OPEN, CreateMode.EPHEMERAL);
        proxy.cut();
        killAndStart();
        eventually("expired", () -> zk.getChildren(root, false).equals(List.of("kept")));
    }

    @Test
    void aClosedSessionStaysClosed() throws Exception {
        ZooKeeper other = connect();
        long id = other.getSessionId();
        byte[] password = other.getSessionPasswd();
        other.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        other.close();
        killAndStart();
        assertEquals(List.of(), zk.getChildren(root, false));
        Events again = Events.ofSession();
        closing(new ZooKeeper(connectString(), TIMEOUT, again, id, password));
        again.await("Expired");
        assertNotEquals(id, connect().getSessionId());
    }

    @Test
    void whatIsOffByDefaultIsOff() throws Exception {
        assertEquals(
                Code.UNIMPLEMENTED,
                codeOf(
                        () ->
                                zk.create(
                                        root + "/ttl",
                                        null,
                                        OPEN,
                                        CreateMode.PERSISTENT_WITH_TTL,
                                        new Stat(),
                                        1000)));
        zk.create("/zookeeper/quota" + root, null, OPEN, CreateMode.PERSISTENT);
        byte[] limits = bytes("count=-1,bytes=-1=;countHardLimit=1;byteHardLimit=-1");
        zk.create(Quotas.limitPath(root), limits, OPEN, CreateMode.PERSISTENT);
        byte[] none = bytes("count=0,bytes=0");
        zk.create(Quotas.statPath(root), none, OPEN, CreateMode.PERSISTENT);
        make("over", "");
    }

    @Test
    void fourLetterWordsAnswer() throws Exception {
        assertEquals("imok", server.fourLetters("ruok"));
        // The one that is asked may lag behind the one that the client talks to.
        Pattern srvr =
                Pattern.compile(
                        "Zookeeper version: 3\\.9\\.5-.*"
                                + "\nMode: (standalone|leader|follower)\nNode count: 6\n.*",
                        Pattern.DOTALL);
        eventually("all is told", () -> srvr.matcher(server.fourLetters("srvr")).matches());
        zk.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        String owner = "0x" + Long.toHexString(zk.getSessionId());
        Pattern dump = Pattern.compile(owner + ".*\t" + root + "/e\n", Pattern.DOTALL);
        eventually("the ephemeral is told", () -> dump.matcher(server.fourLetters("dump")).find());
    }
}
