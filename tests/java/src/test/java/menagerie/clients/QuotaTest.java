// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.KeeperException.NodeExistsException;
import org.apache.zookeeper.Quotas;
import org.junit.jupiter.api.Test;

/** Quotas as zkCli sets them: accounting, soft limits, and hard limits under enforceQuota. */
class QuotaTest extends ClientTest {
    private void limit(String path, String limits) throws Exception {
        StringBuilder at = new StringBuilder(Quotas.procZookeeper + "/quota");
        for (String name : path.substring(1).split("/")) {
            at.append('/').append(name);
            try {
                zk.create(at.toString(), null, OPEN, CreateMode.PERSISTENT);
            } catch (NodeExistsException e) {
                continue;
            }
        }
        byte[] none = bytes("count=0,bytes=0");
        zk.create(Quotas.limitPath(path), bytes(limits), OPEN, CreateMode.PERSISTENT);
        zk.create(Quotas.statPath(path), none, OPEN, CreateMode.PERSISTENT);
    }

    private String used(String path) throws Exception {
        return text(zk.getData(Quotas.statPath(path), false, null));
    }

    @Test
    void useIsCountedFromTheMomentTheQuotaIsSet() throws Exception {
        make("before", "12345");
        limit(root, "count=100,bytes=1000");
        assertEquals("count=2,bytes=5", used(root));
        make("a", "123");
        make("a/b", "1");
        assertEquals("count=4,bytes=9", used(root));
        zk.setData(root + "/a", bytes("1"), -1);
        assertEquals("count=4,bytes=7", used(root));
        zk.setData(root + "/a", null, -1);
        zk.delete(root + "/a/b", -1);
        assertEquals("count=3,bytes=5", used(root));
    }

    @Test
    void softLimitsOnlyWarn() throws Exception {
        limit(root, "count=2,bytes=4");
        make("a", "123");
        make("b", "456");
        assertEquals("count=3,bytes=6", used(root));
    }

    @Test
    void theHardCountIsKept() throws Exception {
        limit(root, "count=-1,bytes=-1=;countHardLimit=3;byteHardLimit=-1");
        make("a", "");
        make("a/b", "");
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> make("c", "")));
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> make("a/b/c", "")));
        zk.delete(root + "/a/b", -1);
        make("c", "");
    }

    @Test
    void theHardBytesAreKeptOnCreateAndSet() throws Exception {
        limit(root, "count=-1,bytes=-1=;countHardLimit=-1;byteHardLimit=10");
        String path = make("a", "1234567");
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> make("b", "1234")));
        make("b", "123");
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> zk.setData(path, bytes("12345678"), -1)));
        zk.setData(path, bytes("7654321"), -1);
        zk.setData(path, bytes("1"), -1);
        make("c", "123456");
        assertEquals("count=4,bytes=10", used(root));
    }

    @Test
    void theNearestQuotaCounts() throws Exception {
        make("a", "");
        limit(root + "/a", "count=-1,bytes=-1=;countHardLimit=2;byteHardLimit=-1");
        make("a/b", "");
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> make("a/c", "")));
        make("outside", "");
        make("ab", "");
        assertEquals("count=2,bytes=0", used(root + "/a"));
    }

    @Test
    void aQuotaEndsWithItsLimits() throws Exception {
        limit(root, "count=-1,bytes=-1=;countHardLimit=1;byteHardLimit=-1");
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> make("a", "")));
        zk.delete(Quotas.statPath(root), -1);
        zk.delete(Quotas.limitPath(root), -1);
        make("a", "");
    }

    @Test
    void newLimitsHoldAtOnce() throws Exception {
        limit(root, "count=-1,bytes=-1=;countHardLimit=1;byteHardLimit=-1");
        assertEquals(Code.QUOTAEXCEEDED, codeOf(() -> make("a", "")));
        byte[] wider = bytes("count=-1,bytes=-1=;countHardLimit=2;byteHardLimit=-1");
        zk.setData(Quotas.limitPath(root), wider, -1);
        make("a", "");
    }
}
