// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.CreateTTLRequest;
import org.apache.zookeeper.DeleteContainerRequest;
import org.junit.jupiter.api.Test;

/**
 * Containers and nodes that die of age. Clients are told that nobody owns them: what is stored as
 * the owner stays inside. The shared server sweeps every 200 ms.
 */
class ModesTest extends ClientTest {
    private static final int UNTIL_SWEPT = 600;

    @Test
    void anEmptiedContainerIsSwept() throws Exception {
        String path = root + "/box";
        Stat stat = new Stat();
        zk.create(path, bytes("x"), OPEN, CreateMode.CONTAINER, stat);
        assertEquals(0, stat.getEphemeralOwner());
        make("box/a", "");
        Events events = Events.ofNodes();
        zk.exists(path, events);
        zk.delete(path + "/a", -1);
        events.expect("NodeDeleted " + path);
        assertNull(stat(path));
    }

    @Test
    void aContainerThatWasNeverUsedStays() throws Exception {
        zk.create(root + "/box", null, OPEN, CreateMode.CONTAINER);
        Server.pause(UNTIL_SWEPT);
        assertNotNull(stat(root + "/box"));
    }

    @Test
    void aContainerWithChildrenStays() throws Exception {
        zk.create(root + "/box", null, OPEN, CreateMode.CONTAINER);
        make("box/a", "");
        make("box/b", "");
        zk.delete(root + "/box/a", -1);
        Server.pause(UNTIL_SWEPT);
        assertNotNull(stat(root + "/box"));
    }

    @Test
    void nestedContainersAreSweptFromTheInside() throws Exception {
        zk.create(root + "/box", null, OPEN, CreateMode.CONTAINER);
        zk.create(root + "/box/in", null, OPEN, CreateMode.CONTAINER);
        make("box/in/a", "");
        zk.delete(root + "/box/in/a", -1);
        eventually("both are gone", () -> stat(root + "/box") == null);
    }

    @Test
    void aNodeWithTtlDiesOfAge() throws Exception {
        Stat stat = new Stat();
        String path = root + "/old";
        zk.create(path, null, OPEN, CreateMode.PERSISTENT_WITH_TTL, stat, 700);
        assertEquals(0, stat.getEphemeralOwner());
        assertNotNull(stat(path));
        eventually("it died", () -> stat(path) == null);
        long age = System.currentTimeMillis() - stat.getCtime();
        assertTrue(age >= 700, "not before its time: " + age);
    }

    @Test
    void aWriteMakesANodeWithTtlYoung() throws Exception {
        String path = root + "/young";
        zk.create(path, null, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 1500);
        for (int i = 0; i < 6; i++) {
            Server.pause(400);
            zk.setData(path, null, -1);
        }
        assertNotNull(stat(path));
        eventually("it died", () -> stat(path) == null);
    }

    @Test
    void aNodeWithTtlAndChildrenStays() throws Exception {
        String path = root + "/parent";
        zk.create(path, null, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 300);
        make("parent/a", "");
        Server.pause(300 + UNTIL_SWEPT);
        assertNotNull(stat(path));
        zk.delete(path + "/a", -1);
        eventually("it died", () -> stat(path) == null);
    }

    @Test
    void sequentialNodesMayHaveATtl() throws Exception {
        Stat stat = new Stat();
        CreateMode mode = CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL;
        assertEquals(
                root + "/s-0000000000", zk.create(root + "/s-", null, OPEN, mode, stat, 60_000));
        assertEquals(
                root + "/s-0000000001", zk.create(root + "/s-", null, OPEN, mode, stat, 60_000));
        assertEquals(0, stat.getEphemeralOwner());
    }

    @Test
    void theLargestTtlIsFortyBits() throws Exception {
        long largest = 0xff_ffff_ffffL;
        CreateMode ttl = CreateMode.PERSISTENT_WITH_TTL;
        zk.create(root + "/a", null, OPEN, ttl, new Stat(), largest);
                try (Wire wire = new Wire(Server.shared())) {
            wire.connect(TIMEOUT);
            for (long wrong : new long[] {largest + 1, 0, -5}) {
                var request = new CreateTTLRequest(root + "/b", null, OPEN, ttl.toFlag(), wrong);
                assertEquals(
                        Code.BADARGUMENTS.intValue(), wire.request(OpCode.createTTL, request));
            }
        }
    }

    @Test
    void aModeNobodyKnowsIsRefused() throws Exception {
        try (Wire wire = new Wire(Server.shared())) {
            wire.connect(TIMEOUT);
            var request = new CreateRequest(root + "/b", null, OPEN, 77);
            assertEquals(Code.BADARGUMENTS.intValue(), wire.request(OpCode.create, request));
        }
    }

    @Test
    void whatIsNoEmptyContainerIsNotDeletedAsOne() throws Exception {
        zk.create(root + "/box", null, OPEN, CreateMode.CONTAINER);
        make("box/a", "");
        zk.create(root + "/mine", null, OPEN, CreateMode.EPHEMERAL);
        try (Wire wire = new Wire(Server.shared())) {
            wire.connect(TIMEOUT);
            assertEquals(Code.NOTEMPTY.intValue(), deleteContainer(wire, "/box"));
            assertEquals(Code.BADVERSION.intValue(), deleteContainer(wire, "/mine"));
            assertEquals(Code.NONODE.intValue(), deleteContainer(wire, "/no"));
        }
    }

    private int deleteContainer(Wire wire, String name) throws Exception {
        return wire.request(OpCode.deleteContainer, new DeleteContainerRequest(root + name));
    }
}
