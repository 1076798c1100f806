// SPDX-License-Identifier: Apache-2.0
package menagerie.clients;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** A test with Curator clients and threads, below the test's own node. */
abstract class CuratorTest extends ClientTest {
    CuratorFramework one;
    CuratorFramework two;
    private ExecutorService threads;

    @BeforeEach
    void openCurator() throws Exception {
        one = curator();
        two = curator();
        threads = Executors.newCachedThreadPool();
    }

    @AfterEach
    void endThreads() {
        threads.shutdownNow();
    }

    CuratorFramework curator() throws Exception {
        return curator(connectString());
    }

    CuratorFramework curator(String hosts) throws Exception {
        CuratorFramework client =
                closing(
                        CuratorFrameworkFactory.newClient(
                                hosts, TIMEOUT, 15_000, new RetryOneTime(100)));
        client.start();
        client.blockUntilConnected();
        return client;
    }

    <T> Future<T> inThread(Callable<T> work) {
        return threads.submit(work);
    }

    /** Ends the session as if it had expired, from outside. */
    void expire(CuratorFramework client) throws Exception {
        var lost = client.getZookeeperClient().getZooKeeper();
        Events session = Events.ofSession();
        var thief =
                new org.apache.zookeeper.ZooKeeper(
                        connectString(),
                        TIMEOUT,
                        session,
                        lost.getSessionId(),
                        lost.getSessionPasswd());
        session.expect("SyncConnected");
        thief.close();
    }
}
