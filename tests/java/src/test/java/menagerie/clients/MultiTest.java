// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.OpResult.CheckResult;
import org.apache.zookeeper.OpResult.CreateResult;
import org.apache.zookeeper.OpResult.DeleteResult;
import org.apache.zookeeper.OpResult.ErrorResult;
import org.apache.zookeeper.OpResult.GetChildrenResult;
import org.apache.zookeeper.OpResult.GetDataResult;
import org.apache.zookeeper.OpResult.SetDataResult;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** Transactions: all or nothing, one zxid, and a result for each operation. */
class MultiTest extends ClientTest {
    private Op create(String name) {
        return Op.create(root + "/" + name, bytes("x"), OPEN, CreateMode.PERSISTENT.toFlag());
    }

    private Op set(String name, int version) {
        return Op.setData(root + "/" + name, bytes("set"), version);
    }

    /** The results of a multi that must fail, as codes: what each operation was told. */
    private List<Code> failing(Code overall, Op... ops) {
        KeeperException e =
                assertThrows(KeeperException.class, () -> zk.multi(List.of(ops)));
        assertEquals(overall, e.code());
        return e.getResults().stream().map(r -> Code.get(((ErrorResult) r).getErr())).toList();
    }

    @Test
    void eachOperationHasItsResult() throws Exception {
        make("old", "");
        make("gone", "");
        List<OpResult> results =
                zk.multi(
                        List.of(
                                create("a"),
                                set("old", 0),
                                Op.check(root + "/old", 1),
                                Op.delete(root + "/gone", 0)));
        assertEquals(new CreateResult(root + "/a"), results.get(0));
        assertEquals(OpCode.create, results.get(0).getType());
        assertEquals(new SetDataResult(stat(root + "/old")), results.get(1));
        assertEquals(new CheckResult(), results.get(2));
        assertEquals(new DeleteResult(), results.get(3));
        long zxid = stat(root + "/a").getCzxid();
        assertEquals(zxid, stat(root + "/old").getMzxid());
        assertEquals(zxid, stat(root).getPzxid());
        assertEquals(stat(root + "/a").getCtime(), stat(root + "/old").getMtime());
        assertNull(stat(root + "/gone"));
    }

    @Test
    void containersAndTtlNodesAnswerWithTheirStat() throws Exception {
        List<OpResult> results =
                zk.multi(
                        List.of(
                                Op.create(root + "/c", null, OPEN, CreateMode.CONTAINER),
                                Op.create(
                                        root + "/t",
                                        null,
                                        OPEN,
                                        CreateMode.PERSISTENT_WITH_TTL,
                                        60_000)));
        for (int i = 0; i < 2; i++) {
            CreateResult result = (CreateResult) results.get(i);
            assertEquals(OpCode.create2, result.getType());
            assertEquals(stat(result.getPath()), result.getStat());
        }
        assertEquals(0, stat(root + "/c").getEphemeralOwner());
    }

    @Test
    void theFailingOperationIsNamedAndNothingHappens() throws Exception {
        make("old", "");
        Stat before = stat(root);
        assertEquals(
                List.of(
                        Code.OK,
                        Code.OK,
                        Code.BADVERSION,
                        Code.RUNTIMEINCONSISTENCY,
                        Code.RUNTIMEINCONSISTENCY),
                failing(
                        Code.BADVERSION,
                        create("a"),
                        set("old", 0),
                        set("old", 0),
                        create("b"),
                        create("old")));
        assertEquals(before, stat(root));
        assertEquals(0, stat(root + "/old").getVersion());
        assertNull(stat(root + "/a"));
    }

    @Test
    void eachKindOfFailureKeepsItsCode() throws Exception {
        make("full", "");
        make("full/a", "");
        zk.create(root + "/e", null, OPEN, CreateMode.EPHEMERAL);
        assertEquals(List.of(Code.NODEEXISTS), failing(Code.NODEEXISTS, create("full")));
        assertEquals(List.of(Code.NONODE), failing(Code.NONODE, create("no/a")));
        assertEquals(List.of(Code.NONODE), failing(Code.NONODE, set("no", -1)));
        assertEquals(List.of(Code.NONODE), failing(Code.NONODE, Op.check(root + "/no", -1)));
        assertEquals(
                List.of(Code.BADVERSION), failing(Code.BADVERSION, Op.check(root + "/full", 3)));
        assertEquals(
                List.of(Code.NOTEMPTY), failing(Code.NOTEMPTY, Op.delete(root + "/full", -1)));
        assertEquals(
                List.of(Code.NOCHILDRENFOREPHEMERALS),
                failing(Code.NOCHILDRENFOREPHEMERALS, create("e/a")));
    }

    @Test
    void laterOperationsSeeEarlierOnes() throws Exception {
        zk.multi(
                List.of(
                        create("a"),
                        create("a/b"),
                        set("a/b", 0),
                        Op.check(root + "/a/b", 1),
                        Op.delete(root + "/a/b", 1),
                        create("a/c"),
                        set("a", 0)));
        assertEquals(List.of("c"), zk.getChildren(root + "/a", false));
        assertEquals(3, stat(root + "/a").getCversion());
        assertEquals(1, stat(root + "/a").getVersion());
        assertEquals(List.of(Code.OK, Code.NODEEXISTS),
                failing(Code.NODEEXISTS, create("d"), create("d")));
        assertEquals(List.of(Code.OK, Code.NONODE),
                failing(Code.NONODE, Op.delete(root + "/a/c", -1), set("a/c", -1)));
    }

    @Test
    void sequenceNumbersRunInsideAndAreTakenBackOnFailure() throws Exception {
        Op sequential =
                Op.create(root + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL.toFlag());
        failing(Code.NONODE, sequential, sequential, set("no", -1));
        List<OpResult> results = zk.multi(List.of(sequential, sequential));
        assertEquals(
                List.of(
                        new CreateResult(root + "/s-0000000000"),
                        new CreateResult(root + "/s-0000000001")),
                results);
    }

    @Test
    void aFailedMultiIsForgottenByTheNextRequests() throws Exception {
        make("a", "");
        CompletableFuture<Integer> failed = new CompletableFuture<>();
        CompletableFuture<Integer> next = new CompletableFuture<>();
        // Sent without waiting: the second is validated while the first is in flight.
        zk.multi(
                List.of(create("b"), set("a", 0), set("a", 9)),
                (rc, path, ctx, results) -> failed.complete(rc),
                null);
        zk.setData(root + "/a", null, 0, (rc, path, ctx, stat) -> next.complete(rc), null);
        assertEquals(Code.BADVERSION.intValue(), failed.get(20, TimeUnit.SECONDS));
        assertEquals(Code.OK.intValue(), next.get(20, TimeUnit.SECONDS));
        assertEquals(1, stat(root).getCversion());
    }

    @Test
    void anEmptyMultiHasNoResults() throws Exception {
        assertEquals(List.of(), zk.multi(List.of()));
    }

    @Test
    void ephemeralsOfATransactionBelongToTheSession() throws Exception {
        zk.transaction()
                .create(root + "/e", null, OPEN, CreateMode.EPHEMERAL)
                .check(root, -1)
                .commit();
        assertEquals(zk.getSessionId(), stat(root + "/e").getEphemeralOwner());
        assertEquals(List.of(root + "/e"), zk.getEphemerals());
    }

    @Test
    void watchesFireOncePerOperationWithTheTransactionsZxid() throws Exception {
        make("a", "");
        Events data = Events.ofNodes();
        Events children = Events.ofNodes();
        zk.getData(root + "/a", data, null);
        zk.getChildren(root, children);
        zk.multi(List.of(set("a", 0), set("a", 1), create("b"), create("c")));
        var event = data.nextEvent();
        assertEquals(root + "/a", event.getPath());
        assertEquals(stat(root + "/b").getCzxid(), event.getZxid());
        children.expect("NodeChildrenChanged " + root);
        data.expectNone(zk);
        children.expectNone(zk);
    }

    @Test
    void multiReadAnswersEachOnItsOwn() throws Exception {
        make("a", "1");
        make("a/b", "2");
        List<OpResult> results =
                zk.multi(
                        List.of(
                                Op.getData(root + "/a"),
                                Op.getChildren(root + "/no"),
                                Op.getChildren(root + "/a"),
                                Op.getData(root + "/no")));
        assertEquals(new GetDataResult(bytes("1"), stat(root + "/a")), results.get(0));
        assertEquals(new ErrorResult(Code.NONODE.intValue()), results.get(1));
        assertEquals(new GetChildrenResult(List.of("b")), results.get(2));
        assertEquals(new ErrorResult(Code.NONODE.intValue()), results.get(3));
    }

    @Test
    void aThousandOperationsAreOneTransaction() throws Exception {
        List<Op> ops = new java.util.ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            ops.add(create("n" + i));
        }
        zk.multi(ops);
        assertEquals(1000, stat(root).getNumChildren());
        assertEquals(stat(root + "/n0").getCzxid(), stat(root + "/n999").getCzxid());
        assertNotNull(stat(root + "/n500"));
    }
}
